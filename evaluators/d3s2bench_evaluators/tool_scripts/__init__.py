"""What runs in the interpreter of a training tool, as ``python tool_scripts mmseg``: it needs nothing of d3s2bench.

``tool_process`` is the other side.
"""
