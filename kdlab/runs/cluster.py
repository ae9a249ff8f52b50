"""Work for a Dask cluster: the same function of many jobs, on whatever workers there are."""

import itertools
import warnings
from concurrent.futures import CancelledError

ANSWER, PATIENCE = 10, 30  # seconds until a scheduler must have answered, and without any worker


def on_cluster(address, function, shared, jobs):
    """Yield (job, ``function(shared, job)``) for each of ``jobs``, as the workers finish, in any order.

    ``address`` is that of a Dask scheduler, "tcp://host:8786" or "host:8786". All must be picklable, and the workers
    must have kdlab installed; ``shared`` travels once. What ``function`` raises is raised here. OSError where no scheduler
    answers, where it has no worker, and, after all others, for a job whose workers die again and again (Dask's
    ``allowed-failures``). What is not finished when it ends is cancelled.
    """
    import distributed
    from distributed.comm import CommClosedError

    cluster = f"the Dask cluster at {address}"
    try:
        client = distributed.Client(address, timeout=ANSWER)
    except (OSError, ValueError, TypeError) as error:  # of a name that is none, too
        raise OSError(
            f"no Dask scheduler answers at {address}: start one with `dask scheduler`, or give the address that it shows"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            # Submitted, not scattered: the scheduler then has it for workers that come later.
            kept = client.submit(_same, shared, pure=False)

        def finished(jobs):
            waiting = {client.submit(function, kept, job, pure=False): job for job in jobs}
            while waiting:
                try:
                    done, _ = distributed.wait(list(waiting), timeout=PATIENCE, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    if not client.scheduler_info()["workers"]:
                        raise OSError(f"{cluster} has no worker left: start one with `dask worker`") from None
                    continue
                # What is there comes first.
                for future in sorted(done, key=lambda future: future.status != "finished"):
                    yield waiting.pop(future), future

        # Dask blames all that a worker had before it when it died, so that those are tried again, each by itself.
        again, killed = [], None
        for job, future in finished(jobs):
            if isinstance(future.exception(), distributed.KilledWorker):
                again.append([job])
            else:
                yield job, future.result()
        for job, future in itertools.chain.from_iterable(map(finished, again)):
            if isinstance(future.exception(), distributed.KilledWorker):
                killed = future.exception()
            else:
                yield job, future.result()
        if killed:
            raise OSError(
                f"workers of {cluster} died again and again at the same work (too little memory?)"
            ) from killed
    except (CancelledError, CommClosedError) as error:
        raise OSError(f"the scheduler of {cluster} has gone, or has dropped the work") from error
    except ImportError as error:
        raise OSError(f"the workers of {cluster} lack {error.name}: install kdlab there") from error
    finally:
        client.close()  # which cancels what is not finished


def _same(value):
    return value
