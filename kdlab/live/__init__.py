"""The live engine, which trains students while somebody moves a slider, and its slower sister for images."""
