"""The calculus: roots, linear solves, evidence. No physics, no solver."""
