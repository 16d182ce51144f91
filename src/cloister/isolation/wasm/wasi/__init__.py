"""WASI preview 1 as this provider grants it: functions of our own over what was granted, and nothing else."""
