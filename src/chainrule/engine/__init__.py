"""From a traced step to numbers: graph, fusion, memory plan, program, replay; and the eager reference engine."""
