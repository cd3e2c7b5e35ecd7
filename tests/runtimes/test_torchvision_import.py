import subprocess
import sys

import pytest
import torch

from napari_aln.errors import DeviceError
from napari_aln.runtimes import torchvision_import


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_torchvision_works_beside_any_torch_and_stays_imported():
    done = run(
        "import sys, threading\n"
        "from napari_aln.runtimes.torchvision_import import _without_compiler, models, torchvision\n"
        "assert models.resnet18(weights=None)\n"
        "assert 'torch._dynamo' not in sys.modules and 'sympy' not in sys.modules\n"
        "def use_compiler():\n"
        "    from torch._dynamo.utils import counters, is_compile_supported\n"
        "    found.append((is_compile_supported.__module__, counters))\n"
        "found = []\n"
        "with _without_compiler():\n"
        "    other = threading.Thread(target=use_compiler)\n"
        "    other.start(), other.join()\n"
        "assert found[0][0] == 'torch._dynamo.utils'\n"
        "import torchvision as again, torchvision.transforms.v2, torchvision.ops.roi_align\n"
        "assert again is torchvision\n"
        "question = sys.modules['torchvision.ops.roi_align'].is_compile_supported\n"
        "assert question.__module__ == 'napari_aln.runtimes.torchvision_import'\n"
        "import torch\n"
        "assert question('cpu') is torch._dynamo.utils.is_compile_supported('cpu')\n"
        "assert torch._dynamo.is_compiling() is False\n"
        "print('done')"
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_schemas_are_declared_only_when_needed():
    plain = run("import torchvision").returncode == 0
    assert bool(torchvision_import._declared) != plain
    assert hasattr(torch.ops.torchvision, "nms")


def test_another_failure_is_reported_with_its_text(monkeypatch):
    def broken(name):
        raise RuntimeError("compiled against another ABI")

    monkeypatch.setattr(torchvision_import.importlib, "import_module", broken)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # put back afterwards
    with pytest.raises(DeviceError, match="another ABI"):
        torchvision_import._import_torchvision()
