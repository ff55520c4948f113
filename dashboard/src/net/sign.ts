/**
 * Signatures by the browser's own cryptography. The secret is read from the form, becomes a key that can't be exported,
 * signs one request, and is forgotten: it is never sent and never stored.
 */
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** WebCrypto is there over TLS and on the machine itself, and nowhere else. */
export function canSign(): boolean {
  return window.isSecureContext && typeof crypto?.subtle?.sign === "function";
}

/** HMAC-SHA256 in hex, keyed by the secret's characters. */
export async function sign(secret: string, payload: string): Promise<string> {
  const bytes = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", bytes.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  return hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(payload))));
}

/** 32 hex digits that no request had before: the core refuses the same ones a second time. */
export function nonce(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}
