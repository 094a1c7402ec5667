"""The zoo: a name stands for an architecture, its weights, its preprocessing and its published results.

`models` looks names up in the `manifest`; `fetch` brings the weights into the cache (`paths`, `cache`), over `http` or
`drive`, and lets nothing in that `verify` does not accept, by `checksums` or content. Weights that come with the
package are `shipped`; `python -m dongfeng.zoo --ship FILE` replaces them.
"""
