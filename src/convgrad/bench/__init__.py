"""Side-by-side timings with other libraries, of results that were checked first."""
