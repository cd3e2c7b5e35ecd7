"""How a network is run: one interface over torch, OpenVINO and ncnn. Knows neither slides nor model cards."""
