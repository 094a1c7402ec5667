"""`python -m dongfeng` is the command `dongfeng`."""

from dongfeng.cli.main import main

raise SystemExit(main())
