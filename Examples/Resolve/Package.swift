// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "resolve-example",
  dependencies: [.package(name: "maskllm", path: "../..")],
  targets: [.executableTarget(name: "resolve", dependencies: [.product(name: "MaskLLM", package: "maskllm")])]
)
