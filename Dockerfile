# docker build -t mivolo .                               CPU
# docker build -t mivolo:gpu --build-arg DEVICE=gpu .    NVIDIA GPU, with `docker run --gpus all`
# docker run --rm -v "$HOME/Pictures:/photos:ro" -v "$PWD:/results" mivolo scan /photos -o people.parquet
ARG DEVICE=cpu

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build==1.3.0 && python -m build --wheel --outdir /wheel

FROM python:3.12-slim AS base
# what opencv-python, a dependency of ultralytics, asks for, in Debian's present version
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

FROM base AS cpu
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.9,<3" "torchvision>=0.24,<1"

FROM base AS gpu
RUN pip install --no-cache-dir "torch>=2.9,<3" "torchvision>=0.24,<1"

# hadolint ignore=DL3006
FROM ${DEVICE} AS final
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir /wheel/*.whl && rm -r /wheel && useradd --create-home --uid 1000 mivolo
USER 1000
WORKDIR /results
ENTRYPOINT ["mivolo"]
CMD ["--help"]
