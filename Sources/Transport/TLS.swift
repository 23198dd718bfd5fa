import CSSL
import Glibc
public import Primitives

/// TLS settings of one side: 1.2 at least, HTTP/1.1 by ALPN, verification of servers that cannot be switched off.
@safe
public final class TLSContext: @unchecked Sendable {
  // SAFETY: SSL_CTX is safe to share between threads once set up, and nothing here changes it after `init`.
  let context: OpaquePointer

  private init(method: OpaquePointer?) throws(Fault) {
    guard let context = unsafe SSL_CTX_new(method) else { throw Fault(.tls, "TLS cannot be set up") }
    unsafe self.context = unsafe context
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    unsafe SSL_CTX_ctrl(
      context, SSL_CTRL_MODE, Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS),
      nil)
    unsafe SSL_CTX_set_options(context, noCompression | noRenegotiation)
  }

  deinit { unsafe SSL_CTX_free(context) }

  /// For calling servers: trusts the system's authorities, or only those in `authorityFile` (PEM).
  public static func client(authorityFile: String?) throws(Fault) -> TLSContext {
    let tls = try unsafe TLSContext(method: TLS_client_method())
    unsafe SSL_CTX_set_verify(tls.context, SSL_VERIFY_PEER, nil)
    let isLoaded: Int32
    if let authorityFile {
      isLoaded = unsafe SSL_CTX_load_verify_locations(tls.context, authorityFile, nil)
    } else {
      isLoaded = unsafe SSL_CTX_set_default_verify_paths(tls.context)
    }
    guard isLoaded == 1 else {
      throw Fault(
        .tls, "the certificates of the authorities cannot be read", hint: "check the CA file, or install ca-certificates")
    }
    unsafe SSL_CTX_set_alpn_protos(tls.context, alpn, UInt32(alpn.count))
    unsafe SSL_CTX_ctrl(tls.context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL), nil)
    return tls
  }

  /// For serving: the certificate chain and the private key of PEM files, which must belong together.
  ///
  /// With `clientAuthorityFile`, only clients with a certificate of one of these authorities are let in.
  public static func server(certificateFile: String, keyFile: String, clientAuthorityFile: String? = nil) throws(Fault)
    -> TLSContext
  {
    let tls = try unsafe TLSContext(method: TLS_server_method())
    if let clientAuthorityFile {
      guard unsafe SSL_CTX_load_verify_locations(tls.context, clientAuthorityFile, nil) == 1 else {
        throw Fault(
          .tls, "the file of authorities \(clientAuthorityFile) cannot be used", hint: "it must hold PEM certificates")
      }
      unsafe SSL_CTX_set_verify(tls.context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    guard unsafe SSL_CTX_use_certificate_chain_file(tls.context, certificateFile) == 1 else {
      throw Fault(
        .tls, "the certificate file \(certificateFile) cannot be used", hint: "it must hold a PEM certificate chain, leaf first")
    }
    guard unsafe SSL_CTX_use_PrivateKey_file(tls.context, keyFile, SSL_FILETYPE_PEM) == 1,
      unsafe SSL_CTX_check_private_key(tls.context) == 1
    else {
      throw Fault(.tls, "the key file \(keyFile) cannot be used", hint: "it must hold the PEM private key of the certificate")
    }
    let name = Array("maskllm".utf8)
    unsafe SSL_CTX_set_session_id_context(tls.context, name, UInt32(name.count))
    unsafe SSL_CTX_set_alpn_select_cb(
      tls.context,
      { _, chosen, chosenLength, offered, offeredLength, _ in
        unsafe TLSContext.alpn.withUnsafeBufferPointer { ours in
          var out: UnsafeMutablePointer<UInt8>?
          // SAFETY: OpenSSL copies the choice, which points into the client's offer.
          guard
            unsafe SSL_select_next_proto(&out, chosenLength, ours.baseAddress!, UInt32(ours.count), offered, offeredLength)
              == OPENSSL_NPN_NEGOTIATED
          else { return SSL_TLSEXT_ERR_ALERT_FATAL }
          unsafe chosen!.pointee = unsafe UnsafePointer(out)
          return SSL_TLSEXT_ERR_OK
        }
      }, nil)
    return tls
  }

  // SSL_OP_NO_COMPRESSION and SSL_OP_NO_RENEGOTIATION: macros with a cast, which Swift does not import.
  private let noCompression: UInt64 = 1 << 17
  private let noRenegotiation: UInt64 = 1 << 30
  private static let alpn: [UInt8] = [8] + Array("http/1.1".utf8)
}

extension Fault.Code {
  public static let tls: Self = "tls"
}

/// One TLS connection over a descriptor that belongs to somebody else.
@safe
final class TLSSession {
  // SAFETY: owned SSL object, used on its loop's thread only.
  private let ssl: OpaquePointer
  private(set) var readInterest = Ready.input
  private(set) var writeInterest = Ready.output

  private init(_ context: TLSContext, _ descriptor: DescriptorPointer) throws(IOFailure) {
    guard let ssl = unsafe SSL_new(context.context) else { throw .tls("no memory") }
    unsafe self.ssl = unsafe ssl
    unsafe SSL_set_fd(ssl, descriptor.pointee.fd)
  }

  deinit {
    // OpenSSL marks the session of a connection that was not shut down as one that must not be resumed.
    unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    unsafe SSL_free(ssl)
  }

  static func server(_ context: TLSContext, _ descriptor: DescriptorPointer) throws(IOFailure) -> TLSSession {
    let session = try unsafe TLSSession(context, descriptor)
    unsafe SSL_set_accept_state(session.ssl)
    return session
  }

  /// `host` is sent as SNI (unless an address) and the certificate must be for it.
  static func client(
    _ context: TLSContext, _ descriptor: DescriptorPointer, host: String, resuming ticket: TLSTicket?
  ) throws(IOFailure) -> TLSSession {
    let session = try unsafe TLSSession(context, descriptor)
    unsafe SSL_set_connect_state(session.ssl)
    let isAddress = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session.ssl), host) == 1
    if !isAddress {
      unsafe SSL_set_hostflags(session.ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
      guard unsafe SSL_set1_host(session.ssl, host) == 1 else { throw .tls("bad host name") }
      var name = Array(host.utf8CString)
      unsafe SSL_ctrl(session.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name), &name)
    }
    if let ticket { unsafe SSL_set_session(session.ssl, ticket.session) }
    return session
  }

  var hasPending: Bool { unsafe SSL_pending(ssl) > 0 }

  /// What the next connection to the same origin can resume; nil when the server gave nothing.
  func ticket() -> TLSTicket? {
    guard let session = unsafe SSL_get1_session(ssl) else { return nil }
    let ticket = unsafe TLSTicket(session)
    return unsafe SSL_SESSION_is_resumable(session) == 1 ? ticket : nil
  }

  /// Completes the handshake, waiting as needed.
  func handshake(_ socket: borrowing Socket, _ scope: borrowing Scope) async throws(IOFailure) {
    while true {
      ERR_clear_error()
      let result = unsafe SSL_do_handshake(ssl)
      if result == 1 { return }
      try unsafe await socket.wait(try interest(after: result, socket.descriptor), scope)
    }
  }

  /// Bytes read, 0 at the end, -1 when it would block.
  func read(_ space: UnsafeMutableRawBufferPointer, _ descriptor: DescriptorPointer) throws(IOFailure) -> Int {
    ERR_clear_error()
    let n = unsafe SSL_read(ssl, space.baseAddress, Int32(clamping: space.count))
    if n > 0 { return Int(n) }
    if unsafe SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN { return 0 }
    readInterest = try unsafe interest(after: n, descriptor)
    return -1
  }

  func write(_ bytes: UnsafeRawBufferPointer, _ descriptor: DescriptorPointer) throws(IOFailure) -> Int {
    ERR_clear_error()
    let n = unsafe SSL_write(ssl, bytes.baseAddress, Int32(clamping: bytes.count))
    if n > 0 { return Int(n) }
    writeInterest = try unsafe interest(after: n, descriptor)
    return -1
  }

  func shutdown() {
    ERR_clear_error()
    unsafe SSL_shutdown(ssl)
  }

  private func interest(after result: Int32, _ descriptor: DescriptorPointer) throws(IOFailure) -> UInt32 {
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ:
      unsafe descriptor.pointee.ready &= ~Ready.input
      if unsafe descriptor.pointee.ready & (Ready.hangup | Ready.failed) != 0 { unsafe descriptor.pointee.ready |= Ready.input }
      return Ready.input
    case SSL_ERROR_WANT_WRITE:
      unsafe descriptor.pointee.ready &= ~Ready.output
      return Ready.output
    case SSL_ERROR_SYSCALL, SSL_ERROR_ZERO_RETURN: throw .closed
    default:
      let verification = unsafe SSL_get_verify_result(ssl)
      if verification != Int(X509_V_OK) { throw unsafe .tls(String(cString: X509_verify_cert_error_string(verification))) }
      let code = ERR_get_error()
      // A peer that ends without close_notify: no more bytes, but not known to be all of them.
      if ERR_reason_is_unexpected_eof(code) { throw .closed }
      throw unsafe .tls(ERR_reason_error_string(code).map { unsafe String(cString: $0) } ?? "handshake failed")
    }
  }

  private func ERR_reason_is_unexpected_eof(_ code: UInt) -> Bool { code & 0x7F_FFFF == UInt(SSL_R_UNEXPECTED_EOF_WHILE_READING) }
}

/// A session that can be resumed.
@safe
final class TLSTicket {
  // SAFETY: owned reference to an SSL_SESSION, which OpenSSL counts.
  let session: OpaquePointer
  init(_ session: OpaquePointer) { unsafe self.session = unsafe session }
  deinit { unsafe SSL_SESSION_free(session) }
}
