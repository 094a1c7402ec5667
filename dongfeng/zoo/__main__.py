"""`python -m dongfeng.zoo`; see `dongfeng.tools.ship_weights`."""

from dongfeng.tools.ship_weights import main

if __name__ == "__main__":
    raise SystemExit(main())
