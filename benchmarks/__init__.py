"""How fast Ringback is, compared with the floor: the same job done by bare Python parts, in the
same run on the same machine.

`python -m benchmarks` (`make bench`) runs all. Nothing of the product imports from here, and the
floors import nothing of the product.
"""
