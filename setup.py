"""Copy the network files and the weights manifest into the wheel; everything else is in setup.cfg."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithData(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            data = f"{self.build_lib}/dongfeng/data"
            shutil.rmtree(data, ignore_errors=True)  # an earlier build's files may be gone from the tree
            shutil.copytree("prototxt", f"{data}/prototxt")
            shutil.copy2("weights_manifest.json", data)


setup(cmdclass={"build_py": BuildWithData})
