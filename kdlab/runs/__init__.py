"""Full-size runs: training, resuming, sweeps, and the record that each leaves."""
