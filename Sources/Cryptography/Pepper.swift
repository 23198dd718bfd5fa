/// A version of the key that masked keys are hashed under.
public final class Pepper: Sendable {
  public let version: UInt32
  public let key: HMACKey
  public init(version: UInt32, key: consuming HMACKey) {
    self.version = version
    self.key = key
  }
}
