"""The detectors inside Inspect: a scanner of Scout and a monitor of Sentinel, by the same code."""
