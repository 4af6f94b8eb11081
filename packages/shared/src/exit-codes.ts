// How the supervisor and the workers end. A worker's code tells the supervisor why.

export const EXIT_OK = 0
/** Bad configuration, a port in use, no certificate: starting again will not help by itself. */
export const EXIT_FAILURE = 1
/** A worker could not boot (bind, load its configuration): not a crash. */
export const EXIT_WORKER_BOOT = 3
/** Every worker has died at once, and with them the sockets that systemd had handed over: starting again helps. */
export const EXIT_WORKERS_DIED = 4
