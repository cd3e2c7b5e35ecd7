"""How a network is run: one interface over torch and OpenVINO. Knows neither slides nor model cards."""
