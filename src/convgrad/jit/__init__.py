"""From text to running code: `ir` prints, `targets` says for which machine, `compile` loads, `cache` remembers."""
