"""One engine and one graph, in a separate process: loads, checks the output against float64, then
times on request.

    python worker.py ENGINE FOLDER

Writes one line of JSON when it is ready ({"error": ..., "first_s": ..., "version": ...} or
{"refused": ...}), then one for each line "SECONDS" on stdin: {"ms": [...]}, every time from host
array to host array. compare.py drives it.
"""

import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

# pnnx's names, for graphs.py.
NCNN_PARAM, NCNN_WEIGHTS = "single.ncnn.param", "single.ncnn.bin"
# compare.py compiles it, for onnxruntime-webgpu.
LAYER = Path(__file__).resolve().parent / "layer"
# Like the engines here: within f32's own error of a sum of some thousand products.
TOLERANCE = 1e-4
STARTED = time.perf_counter()


class Refused(Exception):
    """The engine does not run this graph here, and why."""


def onnxruntime_cpu(folder, _):
    import onnxruntime
    session = onnxruntime.InferenceSession(
        folder / "graph.onnx", providers=["CPUExecutionProvider"]
    )
    version = f"onnxruntime {onnxruntime.__version__}, CPU"
    return lambda x: session.run(None, {"input": x})[0], version


def onnxruntime_webgpu(folder, _):
    # Where there is no other device, a software one is wanted.
    os.environ["ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"] = "1"
    if (LAYER / "libimage_indexing.so").exists():
        os.environ |= {
            "VK_LAYER_PATH": str(LAYER),
            "VK_INSTANCE_LAYERS": "VK_LAYER_peers_image_indexing",
        }
    import onnxruntime
    import onnxruntime_ep_webgpu as plugin
    name = plugin.get_ep_name()
    onnxruntime.register_execution_provider_library(name, plugin.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
    if not devices:
        raise Refused("no WebGPU device")
    options = onnxruntime.SessionOptions()
    options.add_provider_for_devices(devices[:1], {})
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = onnxruntime.InferenceSession(folder / "graph.onnx", options)
    except Exception as why:  # Each of its errors is a class of its own.
        raise Refused(str(why).strip().split(". ")[-1])
    # What it cannot run, it gives to the CPU without a word.
    elsewhere = {part.ep_name for part in session.get_provider_graph_assignment_info()} - {name}
    if elsewhere:
        raise Refused(f"gives nodes to {', '.join(elsewhere)}")
    version = metadata.version("onnxruntime-ep-webgpu")
    version = f"onnxruntime {onnxruntime.__version__}, WebGPU plugin {version}"
    return lambda x: session.run(None, {"input": x})[0], version


def ncnn(folder, shape, vulkan):
    import ncnn
    net = ncnn.Net()
    net.opt.use_vulkan_compute = vulkan
    for option in (
        "use_fp16_packed",
        "use_fp16_storage",
        "use_fp16_arithmetic",
        "use_bf16_storage",
    ):
        setattr(net.opt, option, False)
    net.opt.num_threads = os.cpu_count()
    if vulkan and ncnn.get_gpu_count() == 0:
        raise Refused("no Vulkan device")
    if not (folder / NCNN_PARAM).exists():
        raise Refused("pnnx does not convert the graph")
    if (
        net.load_param(str(folder / NCNN_PARAM)) != 0
        or net.load_model(str(folder / NCNN_WEIGHTS)) != 0
    ):
        raise Refused("the graph does not load")

    def run(x):
        # It knows no batches: one run for each image.
        outputs = []
        for image in x:
            with net.create_extractor() as extractor:
                extractor.input(net.input_names()[0], ncnn.Mat(image))
                code, output = extractor.extract(net.output_names()[0])
                if code != 0:
                    raise Refused(f"extract returns {code}")
                outputs.append(np.array(output))
        return np.stack(outputs)

    device = ncnn.get_gpu_info(ncnn.get_default_gpu_index()).device_name() if vulkan else "CPU"
    return run, f"ncnn {ncnn.__version__}, {device}"


def torch_cpu(folder, shape, compiled=False):
    import torch
    from safetensors.torch import load_file
    import graphs
    net = load(graphs, folder, load_file)
    net = net.to(memory_format=torch.channels_last)
    if compiled:
        net = torch.compile(net)

    def run(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x).to(memory_format=torch.channels_last)).numpy()

    return run, f"torch {torch.__version__}, CPU, channels_last"


def load(graphs, folder, load_file):
    """The folder's module with the folder's weights."""
    workload = next(
        workload for workload in graphs.WORKLOADS if folder.name.startswith(workload.name + "-")
    )
    net = graphs.module(workload)
    net.load_state_dict(load_file(folder / "weights.safetensors"))
    return net


def torch_cuda(folder, shape, half=False, tf32=False, how="eager"):
    import torch
    from safetensors.torch import load_file
    import graphs
    if not torch.cuda.is_available():
        raise Refused("no CUDA device")
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    net = load(graphs, folder, load_file).cuda().to(memory_format=torch.channels_last)
    if how != "eager":
        # reduce-overhead is CUDA graphs.
        net = torch.compile(net, mode="reduce-overhead" if how == "graphs" else "default")

    def run(x):
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
            return (
                net(torch.from_numpy(x).cuda().to(memory_format=torch.channels_last))
                .float()
                .cpu()
                .numpy()
            )

    version = f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {how}"
    return run, version + ", fp16" * half + ", TF32" * tf32


ENGINES = {
    "ncnn-vulkan": lambda folder, shape: ncnn(folder, shape, True),
    "ncnn-cpu": lambda folder, shape: ncnn(folder, shape, False),
    "onnxruntime-webgpu": onnxruntime_webgpu,
    "onnxruntime-cpu": onnxruntime_cpu,
    "torch-cpu": torch_cpu,
    "torch-cuda": torch_cuda,
    "torch-cuda-tf32": lambda folder, shape: torch_cuda(folder, shape, tf32=True),
    "torch-cuda-compiled": lambda folder, shape: torch_cuda(folder, shape, how="compiled"),
    "torch-cuda-graphs": lambda folder, shape: torch_cuda(folder, shape, how="graphs"),
    "torch-cuda-fp16": lambda folder, shape: torch_cuda(folder, shape, half=True),
    "torch-cuda-fp16-graphs": lambda folder, shape: torch_cuda(
        folder, shape, half=True, how="graphs"
    ),
}
# What f32 engines are held to is not for half precision and TF32's ten bits.
ROUGH = {"torch-cuda-tf32": 1e-2, "torch-cuda-fp16": 1e-2, "torch-cuda-fp16-graphs": 1e-2}


def peak_mib():
    """The most memory that this process had at once; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def say(**message):
    print(json.dumps(message), flush=True)


def main():
    engine, folder = sys.argv[1], Path(sys.argv[2])
    x, expected = np.load(folder / "input.npy"), np.load(folder / "expected.npy")
    try:
        run, version = ENGINES[engine](folder, list(x.shape))
        output = run(x)
    except Refused as why:
        return say(refused=str(why))
    except ImportError as why:
        return say(refused=f"not installed: {why}")
    first = time.perf_counter() - STARTED
    error = float(np.abs(output.reshape(expected.shape) - expected).max() / np.abs(expected).max())
    # Not `>`, so that NaN is wrong.
    if not error <= ROUGH.get(engine, TOLERANCE):
        return say(refused=f"wrong: {error:.1e} of the largest value", error=error)
    for _ in range(2):
        run(x)
    say(error=error, first_s=first, version=version)
    for line in sys.stdin:
        until, ms = time.perf_counter() + float(line), []
        while time.perf_counter() < until or len(ms) < 3:
            start = time.perf_counter()
            run(x)
            ms.append(1e3 * (time.perf_counter() - start))
        say(ms=ms, peak_mib=peak_mib())


if __name__ == "__main__":
    main()
