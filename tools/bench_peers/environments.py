"""Virtual environments with pinned packages, made once."""

import os
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / ".build" / "bench-peers"
RELEASE = ROOT / ".build" / "release"

_TORCH = ["torch==2.13.0", "transformers==5.5.4", "tokenizers==0.22.2"]
_ARRAYS = ["numpy==2.4.6", "pillow==13.0.0"]
PACKAGES = {
    "plain": _ARRAYS,
    "torch": _TORCH + _ARRAYS,
    "openvino": ["openvino==2026.4.1", "openvino-genai==2026.4.1.0",
                 "openvino-tokenizers==2026.4.1.0", "optimum-intel==2.2.0", "optimum==2.3.0",
                 "nncf==3.4.0"] + _TORCH + _ARRAYS,
    "llama": ["cmake==4.4.5", "ninja==1.13.2", "gguf==0.19.0", "jinja2==3.1.6", "diskcache==5.6.3",
              "typing_extensions==4.15.0"] + _ARRAYS,
}
# optimum-intel brings a torchvision built for CUDA, which breaks transformers beside a CPU torch.
UNWANTED = {"openvino": ["torchvision"]}


def say(text):
    print(f"{pathlib.Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def once(mark, key, what, step):
    """Runs `step` unless the file `mark` says that it was done with the same `key`."""
    if mark.exists() and mark.read_text() == key:
        return
    say(what)
    step()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(key)


def python_of(name):
    """The Python of environment `name`."""
    folder = WORK / "venv" / name
    python = folder / "bin" / "python"
    packages = PACKAGES[name]

    def install():
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        if name in UNWANTED:
            subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", *UNWANTED[name]],
                           check=True)

    once(folder / "ready", "\n".join(packages), f"installing {', '.join(packages)}", install)
    return python


def build_ours():
    subprocess.run(["swift", "build", "-c", "release"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)


def quiet_environment(threads):
    """The environment for a process that may use `threads` threads in any of its libraries."""
    return dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
