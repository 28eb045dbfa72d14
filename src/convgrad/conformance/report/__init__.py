"""What a run tells: as text, as plain values, and as an HTML page that shows several backends side by side."""
