"""Graphs of modules: nodes, and the module that a graph is packed into."""
