"""Where other devices may be: addresses, never trust. What is named there is dialed, and has to prove itself."""
