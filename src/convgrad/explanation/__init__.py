"""Convolution and its gradients, shown instead of computed: `derive` writes them out in symbols, `page` lets one touch
them."""
