"""Makes crates/ir/tests/blocks/nearest.txt: what ONNX Runtime's weight-only quantizer gives for generated weights.

Each line names a case and the hashes of its codes, scales and zero points. The test beside it generates the same weights.
"""

import pathlib

import numpy as np
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits

CASES = pathlib.Path(__file__).parent / "../../crates/ir/tests/blocks/nearest.txt"
QUANTIZE = {4: quantize_matmul_4bits, 8: quantize_matmul_8bits}


def weights(rows, width):
    """Weights [rows, width] as sums of hashes, exact in f16; some blocks are zero, constant or of one sign."""
    index = np.arange(rows * width, dtype=np.uint64)
    hashed = (index * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    parts = [((hashed >> np.uint64(shift)) & np.uint64(255)).astype(np.int64) for shift in (0, 8, 16, 24)]
    numbers = (parts[0] + parts[1] - parts[2] - parts[3]).reshape(rows, width)
    for row in range(rows):
        match row % 8:
            case 4:
                numbers[row] = 0
            case 5:
                numbers[row] = -row
            case 6:
                numbers[row] = np.abs(numbers[row])
            case 7:
                numbers[row, : width // 2] = 0
    return (numbers / 1024).astype(np.float32)


def fingerprint(array):
    """The hash of netwright_ir::fingerprint (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in array.tobytes():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def unpacked(array, bits, width):
    """Returns codes one in each byte, without what rows are padded with."""
    array = array.reshape(len(array), -1)
    if bits == 4:
        array = np.stack([array & 15, array >> 4], axis=-1).reshape(len(array), -1)
    return np.ascontiguousarray(array[:, :width])


def quantized(weight, bits, size, symmetric):
    """As MatMulNBitsQuantizer does: the weight is [K, N] there, padded to whole blocks."""
    rows, width = weight.shape
    blocks = -(-width // size)
    padded = np.ascontiguousarray(np.pad(weight, ((0, 0), (0, blocks * size - width))).T)
    codes = np.zeros((rows, blocks, size * bits // 8), np.uint8)
    zeros = np.zeros((rows, -(-blocks * bits // 8)), np.uint8)
    scales = np.zeros((rows, blocks), weight.dtype)
    QUANTIZE[bits](codes, padded, scales, zeros, size, rows, width, symmetric)
    zeros = None if symmetric else unpacked(zeros, bits, blocks)
    return unpacked(codes, bits, width), scales, zeros


def main():
    lines = []
    for dtype in (np.float32, np.float16):
        for bits in (4, 8):
            for size in (16, 32, 64, 128):
                for symmetric in (True, False):
                    for width in (size * 3, size * 2 + 5, size - 1):
                        codes, scales, zeros = quantized(weights(16, width).astype(dtype), bits, size, symmetric)
                        case = [f"f{8 * np.dtype(dtype).itemsize}", bits, size, str(symmetric).lower(), width]
                        hashes = [fingerprint(part) for part in (codes, scales, zeros) if part is not None]
                        lines.append(" ".join(map(str, case + hashes)) + "\n")
    CASES.write_text("".join(lines))


if __name__ == "__main__":
    main()
