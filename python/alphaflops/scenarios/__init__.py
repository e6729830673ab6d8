"""Whole jobs, put together from the parts: calibrate a device, show the loop."""
