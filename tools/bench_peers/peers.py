"""One class per engine, all with the same interface."""

import hashlib
import os
import shutil
import subprocess

from bench_peers.environments import (
    PACKAGES, RELEASE, ROOT, WORK, once, python_of, quiet_environment, say)
from bench_peers.served import Served

HERE = ROOT / "tools" / "bench_peers"
LLAMA_VERSION = "0.3.36"
QUESTION = "Describe the image."


def checkpoint(shape):
    """The random checkpoint of `shape` as a Hugging Face folder, which other models come from."""
    folder = WORK / "folder" / shape
    tool = ROOT / "tools" / "make-random-llava"

    def make():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python_of("plain"), tool, shape, folder], check=True)

    once(WORK / "done" / f"folder-{shape}", "1", f"making a random {shape} checkpoint", make)
    return folder


def picture():
    """A picture of the tower's size, for processes that start from nothing."""
    path = WORK / "picture.jpg"
    program = ("import sys, numpy; from PIL import Image; "
               "values = numpy.random.default_rng(0).integers(0, 256, (12, 12, 3), numpy.uint8); "
               "Image.fromarray(values).resize((336, 336)).save(sys.argv[1])")

    def make():
        subprocess.run([python_of("plain"), "-c", program, path], check=True)

    once(WORK / "done" / "picture", program, "making a picture", make)
    return path


class Peer:
    """An engine with a model of one shape.

    - name: what `--peers` selects.
    - shapes: those that fit a machine of 24 GB.
    """

    name = ""
    shapes = ("tiny", "1.1b", "7b", "13b", "next-7b")

    def __init__(self, shape, options):
        self.shape = shape
        self.options = options
        self.served = None

    def columns(self):
        """Names of what a round measures: engine and precision, at most 20 letters."""
        raise NotImplementedError

    def prepare(self):
        """Installs, builds, converts; what is done already is skipped."""
        raise NotImplementedError

    def version(self):
        """What was measured, for the report."""
        raise NotImplementedError

    def serve_command(self):
        """A program for `Served`, and its environment."""
        raise NotImplementedError

    def start_command(self, column):
        """A program that writes its first byte at the first token of an answer about a picture,
        and its environment; None if it is not measured."""
        raise NotImplementedError

    def sizes(self):
        """The options that every serving program takes."""
        return ["--threads", self.options.threads, "--text-rows", self.options.text_rows,
                "--images", self.options.images, "--decode", self.options.decode]

    def begin(self):
        self.served = Served(*self.serve_command())

    def round(self):
        """Seconds by column and stage."""
        return {self.columns()[0]: self.served.round()}

    def end(self):
        self.served.close()


class Ours(Peer):
    name = "ours"

    @property
    def k(self):
        return self.options.k or {"7b": 16, "next-7b": 16, "13b": 20, "tiny": 1}.get(self.shape, 11)

    @property
    def file(self):
        return WORK / f"{self.shape}-{self.options.encoding}.vtwm"

    def columns(self):
        return [f"ours {self.options.encoding}", f"ours {self.options.encoding} K={self.k}"]

    def prepare(self):
        # A file is made again when the pages that specify its bytes have changed.
        pages = b"".join(path.read_bytes() for path in sorted((ROOT / "formats").glob("*.md")))
        key = hashlib.sha256(pages).hexdigest()

        def make():
            subprocess.run(
                [RELEASE / "vtwconvert", checkpoint(self.shape), "-o", self.file, "--force",
                 "--encoding", self.options.encoding, "--k", str(self.k)], check=True)

        once(WORK / "done" / self.file.name, key, f"converting to {self.file.name}", make)

    def version(self):
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT,
                              capture_output=True, text=True)
        size = self.file.stat().st_size / 1e6
        return f"commit {done.stdout.strip()}, {self.options.encoding}, {size:.0f} MB"

    def serve_command(self):
        return [RELEASE / "vtwbench", self.file, "--k", self.k, "--paced"] + self.sizes(), None

    def round(self):
        answer = self.served.round()
        full, withdrawn = self.columns()
        return {full: dict(answer["full"], load=answer["load"]),
                withdrawn: dict(answer["withdrawn"], load=answer["load"])}

    def start_command(self, column):
        which = ["--full"] if column == self.columns()[0] else ["--k", self.k]
        return [RELEASE / "vtwrun", self.file, "--image", picture(), "-p", QUESTION, "-n", 1,
                "--threads", self.options.threads] + which, None


class OpenVINO(Peer):
    """OpenVINO GenAI with the dynamic-quantization group at which it is fastest."""

    name = "openvino"
    shapes = ("tiny", "1.1b")
    precision = "int4"

    @property
    def folder(self):
        return WORK / "openvino" / f"{self.shape}-{self.precision}"

    def columns(self):
        return [f"OpenVINO {self.precision.upper()}"]

    def prepare(self):
        python = python_of("openvino")

        def make():
            shutil.rmtree(self.folder, ignore_errors=True)
            subprocess.run(
                [python.parent / "optimum-cli", "export", "openvino", "-m",
                 checkpoint(self.shape), "--task", "image-text-to-text", "--weight-format",
                 self.precision, self.folder],
                check=True, env=quiet_environment(self.options.threads))

        once(WORK / "done" / f"openvino-{self.folder.name}", "1",
             f"exporting {self.shape} to OpenVINO {self.precision}", make)

    def version(self):
        pinned = [name for name in PACKAGES["openvino"] if "openvino" in name or "optimum" in name]
        return f"{', '.join(pinned)}; {self.precision}, DYNAMIC_QUANTIZATION_GROUP_SIZE=128"

    def command(self):
        return [python_of("openvino"), HERE / "serve_openvino.py", self.folder] + self.sizes()

    def serve_command(self):
        return self.command(), quiet_environment(self.options.threads)

    def start_command(self, column):
        return self.command() + ["--once"], quiet_environment(self.options.threads)


class OpenVINOInt8(OpenVINO):
    precision = "int8"


class LlamaCpp(Peer):
    """llama.cpp Q4_K_M with a bf16 projector and flash attention: its fastest settings."""

    name = "llama"

    @property
    def text(self):
        return WORK / "gguf" / f"{self.shape}-q4_k_m.gguf"

    @property
    def vision(self):
        return WORK / "gguf" / f"{self.shape}-vision.gguf"

    @property
    def source(self):
        return WORK / "llama" / f"llama_cpp_python-{LLAMA_VERSION}"

    @property
    def build(self):
        return WORK / "llama" / "build"

    def columns(self):
        return ["llama.cpp Q4_K_M"]

    def prepare(self):
        python = python_of("llama")
        tools = python.parent
        llama = self.source / "vendor" / "llama.cpp"

        def unpack():
            self.source.parent.mkdir(parents=True, exist_ok=True)
            # Its build back end asks for cmake and ninja, which may come as wheels.
            subprocess.run(
                [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary",
                 "llama-cpp-python", "-d", self.source.parent,
                 f"llama-cpp-python=={LLAMA_VERSION}"], check=True)
            shutil.unpack_archive(self.source.parent / (self.source.name + ".tar.gz"),
                                  self.source.parent)
            # Points to a repository that is not there, which makes ninja configure for ever.
            (llama / ".git").unlink(missing_ok=True)

        def compile():
            environment = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}")
            subprocess.run(
                [tools / "cmake", "-S", llama, "-B", self.build, "-G", "Ninja",
                 "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_C_COMPILER=clang",
                 "-DCMAKE_CXX_COMPILER=clang++", "-DGGML_NATIVE=ON", "-DGGML_BLAS=OFF",
                 "-DGGML_OPENMP=OFF", "-DBUILD_SHARED_LIBS=ON", "-DLLAMA_BUILD_TESTS=OFF",
                 "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_CURL=OFF",
                 "-DLLAMA_BUILD_TOOLS=ON"],
                check=True, env=environment)
            subprocess.run([tools / "ninja", "-C", self.build, "llama-mtmd-cli", "llama-bench"],
                           check=True, env=environment)

        def make():
            self.text.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [python, HERE / "gguf_model.py", self.shape, "Q4_K_M",
                 llama / "models" / "ggml-vocab-llama-spm.gguf", self.text, self.vision],
                check=True)

        done = WORK / "done"
        once(done / "llama-source", LLAMA_VERSION, "fetching llama.cpp", unpack)
        once(done / "llama-build", LLAMA_VERSION, "building llama.cpp", compile)
        once(done / self.text.name, "1", f"writing {self.text.name}", make)

    def version(self):
        size = (self.text.stat().st_size + self.vision.stat().st_size) / 1e6
        return (f"llama.cpp of llama-cpp-python=={LLAMA_VERSION}, clang, native; Q4_K_M, bf16 "
                f"vision, {size:.0f} MB, flash attention, ubatch 1024")

    def environment(self):
        libraries = str(self.build / "bin")
        return dict(quiet_environment(self.options.threads), LLAMA_CPP_LIB_PATH=libraries,
                    MTMD_CPP_LIB=libraries, PYTHONPATH=str(self.source))

    def serve_command(self):
        return ([python_of("llama"), HERE / "serve_llama.py", self.text, self.vision]
                + self.sizes(), self.environment())

    def start_command(self, column):
        return [self.build / "bin" / "llama-mtmd-cli", "-m", self.text, "--mmproj", self.vision,
                "--image", picture(), "-p", QUESTION, "-t", self.options.threads, "-n", 1,
                "--temp", 0, "--chat-template", "vicuna", "--ignore-eos", "-fa", "on",
                "-c", 1024, "-ub", 1024], None


class Torch(Peer):
    """Hugging Face transformers on PyTorch in bf16."""

    name = "torch"
    shapes = ("tiny", "1.1b")

    def columns(self):
        return ["PyTorch bf16"]

    def prepare(self):
        python_of("torch")
        checkpoint(self.shape)

    def version(self):
        return f"{', '.join(PACKAGES['torch'])}; bf16, sdpa"

    def serve_command(self):
        return ([python_of("torch"), HERE / "serve_torch.py", checkpoint(self.shape)]
                + self.sizes(), quiet_environment(self.options.threads))

    def start_command(self, column):
        return None


ALL = [Ours, OpenVINO, OpenVINOInt8, LlamaCpp, Torch]


def select(names, shape, options):
    """The peers that `names` (and always ours) ask for, as far as they take the shape."""
    chosen = []
    for peer in ALL:
        if peer is not Ours and peer.name not in names:
            continue
        if shape in peer.shapes:
            chosen.append(peer(shape, options))
        else:
            say(f"{peer.name} is left out at {shape}: it needs more memory than 24 GB")
    return chosen
