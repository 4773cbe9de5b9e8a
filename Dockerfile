# Images of demur: `service` decides on the CPU, `service-gpu` on CUDA, `trainer` makes bundles.
# docs/container.md says how they are built and what is in them. BASE has no default: an image with Python 3.11
# or later, by its digest.
ARG BASE

# Build stages: nothing of them reaches an image except /opt/demur.
FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/demur

# demur itself, into /app, as it will lie in the image: the layer that changes with every commit.
FROM build AS demur
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,target=/context sh /context/deploy/image/install.sh demur

FROM build AS service-packages
ARG SOURCE_DATE_EPOCH=0
ARG LOCK=service
RUN --mount=type=bind,target=/context sh /context/deploy/image/install.sh packages "$LOCK"

FROM build AS trainer-packages
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,target=/context sh /context/deploy/image/install.sh packages trainer

FROM build AS service-gpu-packages
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,target=/context sh /context/deploy/image/install.sh packages service-gpu

# What all images are: the base without what installs packages, a user by number, and one folder to write to.
FROM ${BASE} AS runtime
RUN set -eu; \
    if command -v dpkg >/dev/null; then \
      dpkg-query -W -f '${Package}\n' 'python3*-venv' 'python3-pip*' 'python3-setuptools*' 'python3-wheel*' \
        >/tmp/installers 2>/dev/null || true; \
      xargs -r -a /tmp/installers dpkg --log=/dev/null --purge --force-depends; \
      rm /tmp/installers; \
    fi; \
    lib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))'); \
    site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    rm -rf "$lib/ensurepip" "$site/pip" "$site"/pip-* "$site/setuptools" "$site"/setuptools-* "$site/wheel" \
      "$site"/wheel-* /usr/local/bin/pip*; \
    install -d -o 10001 -g 10001 -m 0750 /data; \
    install -d /bundle
ENV PATH=/opt/demur/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/data \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    DEMUR_DATA_DIR=/data
WORKDIR /data
STOPSIGNAL SIGTERM

FROM runtime AS service
COPY --from=service-packages /opt/demur /opt/demur
COPY --from=demur /app/ /
RUN ["/opt/demur/bin/python", "-m", "deploy.image.sbom", "/opt/demur/sbom.cdx.json"]
ARG REVISION=unknown
ARG VERSION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="demur service" \
      org.opencontainers.image.description="A certified image classifier that knows when not to answer, on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV DEMUR_HOST=0.0.0.0 DEMUR_BUNDLE=/bundle
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["demur", "health"]
ENTRYPOINT ["demur"]
CMD ["serve"]

FROM runtime AS trainer
COPY --from=trainer-packages /opt/demur /opt/demur
COPY --from=demur /app/ /
RUN ["/opt/demur/bin/python", "-m", "deploy.image.sbom", "/opt/demur/sbom.cdx.json"]
ARG REVISION=unknown
ARG VERSION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="demur trainer" \
      org.opencontainers.image.description="Trains and certifies bundles for the demur service, on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
USER 10001:10001
VOLUME ["/data"]
ENTRYPOINT ["demur"]
CMD ["--help"]

# NVIDIA's libraries come from its packages; the driver comes from the host.
FROM runtime AS service-gpu
COPY --from=service-gpu-packages /opt/demur /opt/demur
COPY --from=demur /app/ /
RUN ["/opt/demur/bin/python", "-m", "deploy.image.sbom", "/opt/demur/sbom.cdx.json"]
ARG REVISION=unknown
ARG VERSION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="demur service on CUDA" \
      org.opencontainers.image.description="A certified image classifier that knows when not to answer, on CUDA" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV DEMUR_HOST=0.0.0.0 \
    DEMUR_BUNDLE=/bundle \
    LD_LIBRARY_PATH=/opt/demur/lib/nvidia \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["demur", "health"]
ENTRYPOINT ["demur"]
CMD ["serve"]
