"""Matter: structures, boxes, neighbour lists, potentials, observables. No solver, no file."""
