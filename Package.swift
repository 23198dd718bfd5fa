// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: Swift 6 mode, every unsafe construct marked, no warning tolerated.
let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableExperimentalFeature("Lifetimes"),
]

func floor(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: house)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: house)
}

let package = Package(
  name: "maskllm",
  products: [
    .library(name: "MaskLLM", targets: ["MaskLLM"]),
    .executable(name: "maskllm", targets: ["maskllm"]),
  ],
  targets: [
    // Floor 0: system libraries, each with one door above.
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .target(name: "CLinuxShims"),
    .target(name: "CDashboard"),
    .target(name: "CMail", dependencies: ["CCurl"]),
    .target(name: "CPriceList", exclude: ["prices.tsv"]),
    .target(name: "CCatalogue"),
    // Floor 1
    floor("Primitives", []),
    // Floor 2
    floor("Cryptography", ["Primitives", "CSodium", "CCrypto"]),
    floor("Domain", ["Primitives"]),
    floor("Wire", ["Primitives"]),
    floor("Configuration", ["Primitives", "CYAML"]),
    // Floor 3
    floor("Transport", ["Primitives", "Wire", "CSSL", "CLinuxShims", "CMail"]),
    floor("Storage", ["Primitives", "Domain", "CSQLite"]),
    floor("Providers", ["Primitives", "Cryptography", "Configuration", "Domain", "Wire", "CPriceList", "CCatalogue"]),
    // Floor 4
    floor("Vault", ["Primitives", "Cryptography", "Domain", "Storage"]),
    floor("PolicyEngine", ["Primitives", "Cryptography", "Domain", "Wire", "Storage", "Providers"]),
    floor("Audit", ["Primitives", "Cryptography", "Domain", "Providers", "Storage"]),
    floor("Leaks", ["Primitives", "Domain", "Providers", "CPCRE2"]),
    // Floor 5
    floor("KeyService", ["Primitives", "Cryptography", "Domain", "Storage", "Providers", "Vault", "PolicyEngine", "Audit"]),
    // Floor 6
    floor(
      "Gateway", ["Primitives", "Cryptography", "Domain", "Wire", "Transport", "Storage", "Providers", "PolicyEngine", "Audit"]),
    floor(
      "AdminAPI",
      [
        "Primitives", "Cryptography", "Domain", "Wire", "Configuration", "Transport", "Storage", "Providers", "Vault",
        "PolicyEngine", "Audit",
        "KeyService", "CDashboard",
      ]),
    floor("MaskLLM", ["Primitives", "Cryptography", "Storage", "Providers", "PolicyEngine", "KeyService"]),
    floor("DemoProvider", ["Primitives", "Wire", "Transport"]),
    // Floor 7
    .executableTarget(
      name: "maskllm",
      dependencies: [
        "Primitives", "Cryptography", "Domain", "Wire", "Transport", "Storage", "Providers", "Vault", "PolicyEngine",
        "KeyService", "Gateway", "AdminAPI", "DemoProvider", "Configuration", "Leaks", "Audit",
      ],
      swiftSettings: house),
    // Tests
    .target(
      name: "TestSupport", dependencies: ["Primitives", "Domain", "Storage"], path: "Tests/TestSupport", swiftSettings: house),
    tests("HouseTests", ["Primitives", "TestSupport"]),
    tests("PrimitivesTests", ["Primitives", "TestSupport"]),
    tests("CryptographyTests", ["Cryptography", "Primitives", "TestSupport"]),
    tests("DomainTests", ["Domain", "Primitives", "TestSupport"]),
    tests("WireTests", ["Wire", "Primitives", "TestSupport"]),
    tests("TransportTests", ["Transport", "Wire", "Primitives", "TestSupport"]),
    tests("StorageTests", ["Storage", "Domain", "Primitives", "TestSupport"]),
    tests("ConfigurationTests", ["Configuration", "Primitives"]),
    tests("ProvidersTests", ["Providers", "Cryptography", "Domain", "Wire", "Primitives", "TestSupport"]),
    tests("VaultTests", ["Vault", "Cryptography", "Domain", "Storage", "Primitives", "TestSupport"]),
    tests(
      "PolicyEngineTests",
      ["PolicyEngine", "Providers", "Cryptography", "Domain", "Wire", "Storage", "Primitives", "TestSupport"]),
    tests("LeaksTests", ["Leaks", "Domain", "Providers", "Primitives", "TestSupport"]),
    tests(
      "AuditTests",
      ["Audit", "PolicyEngine", "Cryptography", "Domain", "Providers", "Storage", "Primitives", "TestSupport"]),
    tests(
      "KeyServiceTests",
      [
        "KeyService", "Vault", "PolicyEngine", "Providers", "Cryptography", "Domain", "Wire", "Storage", "Primitives",
        "TestSupport",
      ]),
    tests(
      "AdminAPITests",
      [
        "AdminAPI", "KeyService", "Vault", "Cryptography", "Domain", "PolicyEngine", "Transport", "Wire", "Primitives",
        "TestSupport",
      ]),
  ]
)

// The fuzzers need flags that a package others depend on must not have: they are here only when `make fuzz` asks for them.
if Context.environment["MASKLLM_FUZZ"] != nil {
  let fuzzed = ["Primitives", "Wire", "Domain", "Cryptography", "Configuration", "Providers", "Storage", "Audit"]
  for target in package.targets where fuzzed.contains(target.name) {
    target.swiftSettings?.append(.unsafeFlags(["-sanitize=fuzzer"]))
  }
  package.targets.append(
    .executableTarget(
      name: "fuzz-wire", dependencies: ["Primitives", "Wire"], path: "Tests/Fuzz", exclude: ["Corpus"],
      swiftSettings: house + [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
  package.targets.append(
    .executableTarget(
      name: "fuzz-usage", dependencies: ["Primitives", "Wire", "Providers", "Storage", "Audit"], path: "Tests/FuzzUsage",
      exclude: ["Corpus"], swiftSettings: house + [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
}

// The timing of decisions needs modules that are no products: it is here only when `make bench` asks for it.
if Context.environment["MASKLLM_BENCH"] != nil {
  package.targets.append(
    .executableTarget(
      name: "bench-decide",
      dependencies: ["PolicyEngine", "Providers", "Cryptography", "Domain", "Wire", "Storage", "Primitives", "TestSupport"],
      path: "bench/Decide", swiftSettings: house))
}
