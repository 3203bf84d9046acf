"""From a trigger to ranked causes: trigger, causal graph, evidence, random walk, convergence (after CORAL)."""
