"""From a configuration to a graph of stages."""
