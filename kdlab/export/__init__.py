"""From a student to a microcontroller: LiteRT files, fewer bits, and boards."""
