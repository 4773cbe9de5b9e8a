"""The error tree of the command line and the client.

    DemurError
    └── InterfaceError                          root of the errors of `demur`
        ├── FileExists (ValueError)         a file is in the place of the one to be written
        ├── UnknownTableFormat (ValueError)     the output is no file, or its suffix names no format
        ├── NoDriftYet                          there is nothing to report on yet
        ├── NoEvents                        there is no event log where one is looked for
        ├── NoLog                           there is no log where one is looked for
        ├── MalformedArm (ValueError)           an arm, a share or a guardrail is not as it is read
        ├── NoExperiment                        no experiment of that name has been started
        ├── NoStoreNamed (ValueError)       nothing says where replayed events are to go
        ├── FiguresDiffer                   the windows of a store are not what the events say
        ├── UnknownRows (ValueError)        a name chooses no rows
        ├── MalformedTime (ValueError)      a text is no date, no time and no duration
        ├── UnknownChannel (ValueError)         a file of alert rules has no channel of this name
        ├── MalformedMatcher (ValueError)       a text names no label and pattern
        ├── MessagesNotDelivered                a channel has not taken a test message
        ├── NoPrivatePort (ValueError)          nothing says where the private port is, or its token
        ├── NoRegistryNamed (ValueError)        nothing says where the registry is
        ├── StoreUnusable (ValueError)          the address of the store is none
        ├── ServicesNotAsked (ValueError)       nothing says which bundles the running services have open
        ├── TargetUnknown (ValueError)          what a bundle should become is no champion of a fleet
        ├── NotAsked                            nobody has said yes to a promotion
        ├── NoAddress (ValueError)          the address of a service is no URL of HTTP
        ├── UnknownUser                         the system has no name for this user
        ├── ProfileFailed (RuntimeError)        a measured process did not do its part
        └── ClientError                         a call of the client failed
            ├── Unreachable                     no connection, a broken one, or no answer of a demur service
            ├── DeadlinePassed                  no answer in time
            └── Refused                         the service refused the request

Each class is defined in the module that raises it. Malformed arguments of a function stay plain `ValueError`.
"""

from __future__ import annotations

from calibration.errors import DemurError


class InterfaceError(DemurError):
    """Root of the errors of `demur`."""
