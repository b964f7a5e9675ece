# The image of `stowplan run`; charts/stowplan runs it. Build: docker build -t stowplan:0.1.0 .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/stowplan
# What it depends on, each file checked against the lock; a layer of its own, as it changes seldom.
COPY requirements/runtime.txt requirements/runtime.txt
RUN pip --python /opt/stowplan/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary=:all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY operator operator
RUN pip --python /opt/stowplan/bin/python install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/stowplan /opt/stowplan
# The root file system is read-only. OpenBLAS takes memory for each core of the node, which nothing here uses.
ENV PATH=/opt/stowplan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1
USER 65532:65532
ENTRYPOINT ["stowplan"]
CMD ["--help"]
