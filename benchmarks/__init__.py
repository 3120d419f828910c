"""How fast Ringback is, beside the floor: the same job done by bare Python parts, in the same run
on the same machine.

`python -m benchmarks` (`make bench`) runs all; nothing of the product imports from here, and the floors import nothing of the product.
"""
