"""Who is right? Cases from the corners of the option lattice, tried on any backend and judged by the definition."""
