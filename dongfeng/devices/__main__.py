"""`python -m dongfeng.devices`; see `dongfeng.tools.device_profiles`."""

from dongfeng.tools.device_profiles import main

if __name__ == "__main__":
    raise SystemExit(main())
