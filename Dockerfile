# runbookd as a small image without a shell. No container engine has built this file yet: it was written with care and not tried.
#
#   docker build -t runbookd .     (set `listen: 0.0.0.0:9099` and both tokens, or nothing outside reaches it)
#   docker run -p 9099:9099 -v runbookd:/var/lib/runbookd -v ./runbookd.yaml:/etc/runbookd/runbookd.yaml:ro runbookd

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
# The dependencies first: this layer changes only with them, and takes most of the time.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/suite \
 && echo 'fn main() {}' > src/main.rs \
 && echo '' > src/lib.rs \
 && echo 'fn main() {}' > tests/suite/main.rs \
 && cargo build --release --locked \
 && rm -r src tests target/release/runbookd target/release/deps/*runbookd* target/release/.fingerprint/runbookd-*
COPY src src
COPY rules rules
COPY deploy deploy
# Cargo.toml names the test; it is not built.
RUN mkdir -p tests/suite && echo 'fn main() {}' > tests/suite/main.rs \
 && cargo build --release --locked --bin runbookd \
 && mkdir -p /out/var/lib/runbookd

# CA certificates, a C library, no shell and no package manager.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /src/target/release/runbookd /usr/local/bin/runbookd
# The shipped runbooks. The configuration is yours: it is mounted, and without one the daemon says so and ends.
COPY --from=build /src/rules /etc/runbookd/rules
COPY --from=build --chown=65532:65532 /out/var/lib/runbookd /var/lib/runbookd
# The journal's default path is relative to the working directory. It must outlive the container: it holds the limits, too.
WORKDIR /var/lib/runbookd
VOLUME /var/lib/runbookd
# As a number, so that Kubernetes can see that it is not root (`runAsNonRoot`).
USER 65532:65532
EXPOSE 9099
ENTRYPOINT ["/usr/local/bin/runbookd"]
CMD ["serve", "--config", "/etc/runbookd/runbookd.yaml"]
