// The exit codes of the supervisor and of the workers. A worker's code tells the supervisor why it ended.

export const EXIT_OK = 0
/** A configuration error, a port in use, no certificate: a restart alone does not help. */
export const EXIT_FAILURE = 1
/** A worker could not boot (bind, load its configuration) and has reported why. */
export const EXIT_WORKER_BOOT = 3
/** All workers died at once, which closed the sockets passed by systemd: a restart helps. */
export const EXIT_WORKERS_DIED = 4
