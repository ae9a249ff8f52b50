"""The kernels of the dashboards and of ``kdlab lab``: Python is always the one that kdlab itself runs in."""

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager

__all__ = ["KernelSpecs"]


class KernelSpecs(KernelSpecManager):
    """The installed kernels, but for "python3": another Python's of that name would come first outside an environment."""

    def find_kernel_specs(self):
        """Return {name: folder}."""
        return {**super().find_kernel_specs(), NATIVE_KERNEL_NAME: RESOURCES}

    def get_kernel_spec(self, kernel_name):
        """Return the KernelSpec; "python3" runs ``sys.executable``."""
        if kernel_name.lower() == NATIVE_KERNEL_NAME:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        return super().get_kernel_spec(kernel_name)
