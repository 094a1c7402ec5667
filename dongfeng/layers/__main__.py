"""`python -m dongfeng.layers`; see `dongfeng.tools.layers_page`."""

from dongfeng.tools.layers_page import main

if __name__ == "__main__":
    raise SystemExit(main())
