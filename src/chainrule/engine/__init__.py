"""From a traced step to its results: graph, fusion, memory plan, program, replay; and the eager reference engine."""
