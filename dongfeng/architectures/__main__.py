"""`python -m dongfeng.architectures`; see `dongfeng.tools.prototxt`."""

from dongfeng.tools.prototxt import main

if __name__ == "__main__":
    raise SystemExit(main())
