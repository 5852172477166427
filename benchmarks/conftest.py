"""Loaded before anything imports NumPy, and so the place for settings."""

import environment

environment.prepare(threads=1)
