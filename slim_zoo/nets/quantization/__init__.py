"""Networks that compute as 8-bit integers would: `fake_quantization.quantize`."""
