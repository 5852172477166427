"""What pyproject.toml cannot say: the cffi module, and one wheel for every CPython from 3.10 on."""

import sysconfig

from setuptools import setup

# A free-threaded CPython has no stable ABI yet; there the wheel is for that one version.
free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp310"}},
)
