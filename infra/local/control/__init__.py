"""The control plane: AWS's own APIs, played by moto and by what moto lacks."""
