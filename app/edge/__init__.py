"""How the world comes in: WebSocket, HTTP, and who is who."""
