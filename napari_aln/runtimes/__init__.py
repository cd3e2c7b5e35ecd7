"""How a network is run: one interface over torch and OpenVINO. Knows nothing of slides or model cards."""
